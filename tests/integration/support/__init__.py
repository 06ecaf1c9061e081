"""What the integration tests share: the server under test, clients, certificates, processes."""
