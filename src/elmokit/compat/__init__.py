"""Compatibility layers: the calls of AllenNLP, bilm-tf, simple_elmo, ELMoForManyLangs and TF-Hub on our runtimes."""
