"""What `nnjit train` and `nnjit predict` do."""
