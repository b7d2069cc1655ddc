"""No DAG at all: what Airflow itself takes."""
