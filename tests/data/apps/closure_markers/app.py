import sqlalchemy.orm
import click
