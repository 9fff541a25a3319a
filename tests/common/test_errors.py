from common.errors import near_name, unknown_name


def test_a_near_name_is_suggested_whatever_its_case():
    assert near_name("convnet", ["AlexNet", "ConvNet"]) == " Did you mean 'ConvNet'?"
    assert near_name("num_filtres", ["num_filters", "stride"]) == " Did you mean 'num_filters'?"


def test_no_name_is_suggested_where_none_is_near():
    assert near_name("qqq", ["AlexNet", "ConvNet"]) == ""


def test_the_sentence_names_what_is_valid():
    sentence = unknown_name("label", "jaz", ["rock", "jazz"])
    assert sentence == "Unknown label 'jaz'. Did you mean 'jazz'? Valid: jazz, rock."
