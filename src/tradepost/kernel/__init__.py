"""What every service stands on; knows nothing of any of them."""
