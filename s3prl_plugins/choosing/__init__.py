"""Which checkpoint of a joint run to take, by the dev scores of all its tasks."""
