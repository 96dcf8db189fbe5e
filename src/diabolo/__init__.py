"""Autoencoders and variational autoencoders whose numbers can be trusted."""
