"""Where addresses are: the sources of countries, regions and cities, and how a new edition comes into force. Knows no request."""
