import handmade
