"""What the generator takes in time, memory and room; see RESULTS.md."""
