"""Tables of declared runs: their stored results and the pages made of them."""
