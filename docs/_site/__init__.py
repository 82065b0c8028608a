"""What the site has beside the pages, which Sphinx makes while it reads them."""
