# A Debian that systemd starts: the machine on which deploy/README.md installs the service.
FROM forebay-base:bookworm
RUN apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends systemd systemd-sysv
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
