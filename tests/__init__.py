"""The proofs, one package a layer; a folder's helpers stand beside its tests."""
