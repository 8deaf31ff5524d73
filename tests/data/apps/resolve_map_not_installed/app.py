import private
