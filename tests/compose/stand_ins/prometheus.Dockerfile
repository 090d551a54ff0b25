# Stands in for prom/prometheus: Debian's Prometheus, and the wget of its health check.
FROM forebay-base:bookworm
RUN apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends prometheus wget
RUN install --directory --owner nobody --group nogroup /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
