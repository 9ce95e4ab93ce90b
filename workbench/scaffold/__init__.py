"""`workbench new`: small working files to begin with. The templates beside this module are what is written, with the name filled in."""
