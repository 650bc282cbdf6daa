"""The bank: exact banking logic, its knowledge and its policy."""
