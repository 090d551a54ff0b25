"""What can be asked: files, dimensions, filters and periods, compiled to SQL with parameters. Pure: it asks nothing."""
