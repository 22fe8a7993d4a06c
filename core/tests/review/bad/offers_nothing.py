"""Finding: registration: it offers nothing"""
