"""What all tests share: the fixtures of gateway.testing, which plugins' tests use as third parties' do."""

pytest_plugins = ["gateway.testing"]
