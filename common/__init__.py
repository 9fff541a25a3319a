"""What every room uses: a user's mistakes, whole files, progress, plain options."""
