"""The studio's page: what people open in a browser, made of HTML, CSS and modules of our own."""
