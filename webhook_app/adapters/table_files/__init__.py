"""Tables as files: a stream of rows becomes a stream of bytes, in memory that does not grow with the rows."""

from webhook_app.adapters.table_files.as_xlsx import MOST_SHEET_ROWS
from webhook_app.adapters.table_files.columns import Column, ColumnKind
from webhook_app.adapters.table_files.file_names import file_name
from webhook_app.adapters.table_files.writing import FileFormat, write_table

__all__ = ["MOST_SHEET_ROWS", "Column", "ColumnKind", "FileFormat", "file_name", "write_table"]
