"""What cache and adapters are worth on a stream of traffic: arms, replayed and compared."""
