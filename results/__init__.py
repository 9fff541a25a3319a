"""What a person looks at: the run's folder, tables, plots and the report."""
