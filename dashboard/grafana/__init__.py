"""Makes the dashboard for Grafana out of the catalogue."""
