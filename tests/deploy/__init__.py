"""The example deployments, as far as they can be tested without the hosts."""
