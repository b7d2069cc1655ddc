"""Open MLflow's UI on the folder of the last demo."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(home: Path = Path(".demo")) -> None:
    """Replace this process by an MLflow server on 127.0.0.1, at the port that the demo's links point to."""
    database = home.resolve() / "mlflow.db"
    if not database.exists():
        sys.exit(f"There is no {database}: run make demo first.")
    port = (home / "mlflow-port").read_text().strip()
    print(f"MLflow: http://127.0.0.1:{port}  (Ctrl-C stops it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    os.execv(sys.executable, [*command, "--host", "127.0.0.1", "--port", port])


if __name__ == "__main__":
    main()
