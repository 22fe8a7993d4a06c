from gateway.config.suggest import closest, did_you_mean


def test_the_closest_word_whatever_its_case():
    assert closest("RATELIMT", ["rateLimit", "path"]) == "rateLimit"
    assert closest("nonsense", ["rateLimit", "path"]) is None


def test_the_remedy_names_the_closest_or_all():
    assert did_you_mean("jtw", ["jwt", "apikey"]) == "did you mean 'jwt'?"
    assert did_you_mean("zzz", ["jwt", "apikey"]) == "known are 'apikey', 'jwt'"
    assert did_you_mean("zzz", []) == "there is none"
