class Client:
    def get(self, url):
        import requests
        return requests.get(url)
