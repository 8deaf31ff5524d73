import zope
