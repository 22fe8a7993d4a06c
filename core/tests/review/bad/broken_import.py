"""Finding: load: importing gateway_plugin_files.broken_import raised ZeroDivisionError"""

HALF = 1 // 0
