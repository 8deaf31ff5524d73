from mypkg import web
