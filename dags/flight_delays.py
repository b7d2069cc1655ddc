"""The five DAGs of the model in models/flight_delays.yaml."""

from __future__ import annotations

from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.load("models/flight_delays.yaml"))
