from zope.interface import implementer
