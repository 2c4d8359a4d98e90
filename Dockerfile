# The daemon in a container: a wheel built from this tree, a user of its own, a root file system that may be read-only.
# What is mounted: /etc/alerting (settings and rules), /var/lib/alerting (state, belongs to user 10001), /run/secrets.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements.lock requirements-build.lock ./
COPY schemas schemas
COPY alerting alerting
# Nothing is installed but what the two locks name, by its hash (`make lock`). Whoever runs the image cannot install
# anything into it, so the first holds every extra but the largest, apprise.
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements-build.lock \
 && pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir /dist . \
 && python -m venv --without-pip /opt/alerting \
 && pip --python /opt/alerting/bin/python install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock \
 && pip --python /opt/alerting/bin/python install --no-cache-dir --no-deps --no-index /dist/*.whl \
 && pip --python /opt/alerting/bin/python check

FROM python:${PYTHON}-slim
RUN python -m pip uninstall --yes --root-user-action ignore pip \
 && useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/alerting --shell /usr/sbin/nologin alerting \
 && install --directory --owner alerting --group alerting --mode 0700 /var/lib/alerting \
 && install --directory --mode 0755 /etc/alerting
COPY --from=build /opt/alerting /opt/alerting
ENV PATH=/opt/alerting/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ALERTING_CONFIG=/etc/alerting/alerting.yaml
WORKDIR /var/lib/alerting
USER 10001:10001

# Needs `web: {}` in the settings (or another port here); /health answers 503 only where a restart is the remedy.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "from http.client import HTTPConnection as Ask; ask = Ask('127.0.0.1', 9797, timeout=4); ask.request('GET', '/health'); raise SystemExit(ask.getresponse().status != 200)"]

ENTRYPOINT ["alerting"]
CMD ["run"]
