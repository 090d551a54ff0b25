# Stands in for clickhouse/clickhouse-server: the engine of `forebay up`, with the code of the image that is tested.
# It listens on loopback and answers no other Host, so an nginx passes on what comes from other containers.
FROM python:3.11-slim-bookworm
RUN apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends nginx-light wget
RUN python -m venv --without-pip /opt/engine
COPY embedded.txt /
RUN pip --python /opt/engine/bin/python install --require-hashes --only-binary :all: --requirement /embedded.txt
COPY clickhouse.conf /etc/nginx/sites-enabled/default
COPY --from=forebay:local /opt/forebay/lib/python3.11/site-packages /opt/forebay
ENV PYTHONPATH=/opt/forebay:/opt/forebay/forebay/packages
WORKDIR /var/lib/clickhouse
CMD ["sh", "-c", "nginx && exec /opt/engine/bin/python -m forebay.embedded.clickhouse --data /var/lib/clickhouse/engine --port 8124"]
