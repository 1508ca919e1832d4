"""What a joint run would cost, before it is started."""
