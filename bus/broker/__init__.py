"""One broker process: a ROUTER that peers talk to, DEALERs to the followers of what it leads, and one store."""
