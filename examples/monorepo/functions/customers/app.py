"""Check who may open an account."""

from datetime import date

from dateutil.relativedelta import relativedelta
from pydantic import BaseModel, Field


class Applicant(BaseModel):
    name: str = Field(min_length=1)
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    born: date
    today: date = Field(default_factory=date.today)


def handler(event: dict, context: object) -> dict:
    applicant = Applicant.model_validate(event)
    age = relativedelta(applicant.today, applicant.born).years
    return {"name": applicant.name, "age": age, "accepted": age >= 18}
