# One image for every process: `forebay ingest`, `forebay flusher`, `forebay migrate`, `forebay site` ...
# Neither ClickHouse's engine nor a Redis is in it: 960 MB that only `forebay up` needs.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
# Without a pip of its own: what is installed there stays what was pinned.
RUN python -m venv --without-pip /opt/forebay
WORKDIR /src
COPY requirements/production.txt requirements/
RUN pip --python /opt/forebay/bin/python install \
    --require-hashes --only-binary :all: --requirement requirements/production.txt
COPY . .
# hatchling is among the pins: nothing else is downloaded to build the wheel.
RUN pip --python /opt/forebay/bin/python wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheel . \
 && pip --python /opt/forebay/bin/python install --no-deps --no-index /wheel/*.whl \
 && pip --python /opt/forebay/bin/python check

# Where addresses are. Unpacked and not installed, because the package brings tor along. By the IPFire Project, CC BY-SA 4.0.
FROM python:3.11-slim-bookworm AS countries
WORKDIR /countries
RUN apt-get update --quiet=2 \
 && apt-get download --quiet=2 tor-geoipdb \
 && dpkg --extract tor-geoipdb_*.deb .

FROM python:3.11-slim-bookworm
# A number, so that it is known not to be root before the image is opened; volumes begin with this owner.
RUN groupadd --gid 10001 forebay \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/forebay --shell /usr/sbin/nologin forebay \
 && install --directory --owner 10001 --group 10001 --mode 0750 /var/lib/forebay /var/lib/forebay/spool
COPY --from=countries /countries/usr/share/tor /usr/share/tor
COPY --from=countries /countries/usr/share/doc/tor-geoipdb/copyright /usr/share/doc/tor-geoipdb/copyright
COPY --from=build /opt/forebay /opt/forebay
ENV PATH=/opt/forebay/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/forebay
USER 10001:10001
EXPOSE 8000 8001 8002 8003
ENTRYPOINT ["forebay"]
CMD ["--help"]
