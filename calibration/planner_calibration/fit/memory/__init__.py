"""What start-up logs of a machine say of the memory that an engine takes there."""
