# Stands in for redis: Debian's redis-server.
FROM forebay-base:bookworm
RUN apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends redis-server redis-tools
WORKDIR /data
