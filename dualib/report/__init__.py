"""One page of HTML that holds all there is to say of a table: ``dualib report``. Nothing in it comes from elsewhere.

`facts` computes, `words` says it in sentences, `pictures` draws it as SVG, `page` puts it together. Only the command imports it.
"""
