"""What crmlytics raises: one family, so that ``except CrmlyticsError`` catches every refusal of ours."""


class CrmlyticsError(Exception):
    """Base of every error raised on purpose by crmlytics."""


class SchemaError(CrmlyticsError, ValueError):
    """A table or an argument does not have the shape that was asked for."""


class MissingColumnsError(SchemaError):
    """A table lacks columns that the caller needs."""


class ResultTooLargeError(CrmlyticsError):
    """The answer would take more memory than allowed, or more rows than anybody reads: tighten the question."""


class MissingDependencyError(CrmlyticsError, ImportError):
    """An optional package is needed and is not installed."""


class DataQualityWarning(UserWarning):
    """Some of the data was set aside, or a result deserves less trust than usual."""
