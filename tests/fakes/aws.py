"""CloudWatch as moto's server plays it, on loopback, with credentials that belong to nobody.

The environment of the tests must be set before: `CREDENTIALS` are the variables.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "aws-s3cr3t-0f-a-t3st",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


class CloudWatch:
    """One account in every region."""

    region = "eu-central-1"

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    @property
    def url(self) -> str:
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def put(self, metric: str, at: int, value: float, namespace: str = "Shop", **dimensions: str) -> None:
        """Report one value, at a time in ms."""
        named = [{"Name": name, "Value": text} for name, text in dimensions.items()]
        moment = datetime.fromtimestamp(at / 1000, UTC)
        datum = {"MetricName": metric, "Dimensions": named, "Timestamp": moment, "Value": value}
        self._client().put_metric_data(Namespace=namespace, MetricData=[datum])

    def _client(self) -> Any:
        import boto3

        return boto3.client("cloudwatch", region_name=self.region, endpoint_url=self.url)
