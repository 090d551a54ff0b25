# Stands in for python:3.11-slim-bookworm: Debian's own Python 3.11, under that image's names.
FROM forebay-base:bookworm
RUN ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/pip3 /usr/local/bin/pip
CMD ["python"]
