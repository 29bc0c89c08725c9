"""The engine's library, which the scripts beside this one ask in their own process."""

import ctypes
import os
import sys


class Library:
    """An engine of its own in an empty folder, with this configuration."""

    def __init__(self, library, folder, configuration):
        folder.joinpath("configuration.xml").write_text(configuration)
        self.engine = ctypes.CDLL(str(library))
        self.engine.chdb_connect.restype = ctypes.POINTER(ctypes.c_void_p)
        self.engine.chdb_query.restype = ctypes.c_void_p
        self.engine.chdb_query.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
        self.engine.chdb_result_error.restype = ctypes.c_char_p
        self.engine.chdb_result_buffer.restype = ctypes.c_void_p
        self.engine.chdb_result_length.restype = ctypes.c_size_t
        for name in ["error", "buffer", "length"]:
            getattr(self.engine, f"chdb_result_{name}").argtypes = [ctypes.c_void_p]
        arguments = ["holdup", f"--path={folder}/data", f"--config-file={folder}/configuration.xml"]
        arguments = [argument.encode() for argument in arguments]
        self.opened = self.engine.chdb_connect(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
        if not self.opened:
            sys.exit("the library refused the folder")
        self.refused = []

    def error(self, statement):
        """What it has against a statement, or nothing."""
        return self._run(statement)[1]

    def ask(self, statement):
        """The answer as text with tabs; what it refuses is kept, and has none."""
        result, error = self._run(statement)
        if error:
            self.refused.append([statement, error])
            return ""
        length = self.engine.chdb_result_length(result)
        return ctypes.string_at(self.engine.chdb_result_buffer(result), length).decode() if length else ""

    def _run(self, statement):
        result = self.engine.chdb_query(self.opened[0], statement.encode(), b"TSV")
        return result, (self.engine.chdb_result_error(result) or b"").decode(errors="replace")

    def end(self):
        """Ends this process: the library's threads may be at work."""
        sys.stdout.flush()
        os._exit(0)


def statements(path):
    """Those of a file, one after the other."""
    return [text.strip() for text in path.read_text().split(";\n") if text.strip()]
