"""How the service is: the overview and its figures."""
