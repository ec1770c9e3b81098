"""The tests about the repository itself: rules that exist only in prose are not kept."""
