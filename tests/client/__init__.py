"""Transport, driver, pool and client, proved against servers of every kind."""
